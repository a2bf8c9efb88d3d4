"""Training of the person detector and of the 2D keypoint network.

crops_dataset          crops of people with keypoints, on disk
augment                augmentation of crops
heatmap_loss           target heatmaps, and the losses on them
muon                   the optimiser
ahead                  batches drawn while the networks run
pose                   the training of HRNet
pose_distillation      heatmaps and features of a teacher keypoint network
feature_distillation   a detector's features as hints for HRNet
net2net                growing, freezing and averaging of HRNet
batch_norm             batch normalisation statistics of averaged weights
teachers               two keypoint networks: mean heatmaps, and agreement as the weight of joints
teacher_labels         crops labelled by the teachers, once
backgrounds            crops without people
pseudo_labels          further crops: a teacher's keypoints on the detector's pictures
detector               the training of the person detector, by ultralytics' own trainer
mosaics                pictures composed of others
detector_distillation  a detector distilled from another on mosaics
"""
