"""Training of the two networks that look at pictures.

labels      people's crops with keypoints, as they lie on disk
augment     a crop as it might have been photographed
targets     heatmaps to learn, and how far a network is from them
muon        the optimiser
pose        the training of HRNet
relabel     more crops: a teacher's keypoints on the detector's pictures
detector    the training of the person detector, by ultralytics' own trainer
"""
