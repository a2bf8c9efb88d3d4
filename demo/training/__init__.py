"""Training of the two networks that look at pictures.

labels      people's crops with keypoints, as they lie on disk
augment     a crop as it might have been photographed
targets     heatmaps to learn, and how far a network is from them
muon        the optimiser
ahead       batches drawn while the networks work
pose        the training of HRNet
teacher     what another keypoint network sees in the same crops
hints       what HRNet may borrow from a detector's features
relabel     more crops: a teacher's keypoints on the detector's pictures
detector    the training of the person detector, by ultralytics' own trainer
collage     pictures put together from others
imitation   a detector learns to answer like another in collages
"""
