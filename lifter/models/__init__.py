"""The lifters, one file a paper, written from the papers and from what their checkpoints need.

blocks          attention, MLP, drop-path, and unused weights of official files
wild            the app's own: any number of frames, COCO-17 in, predicts the vertical
martinez        the frame-by-frame baseline
ktpformer       KTPFormer (CVPR 2024): sequence to sequence, kinematic and trajectory priors
mixste          MixSTE (CVPR 2022): sequence to sequence, attention over joints and frames in turn
motionbert      MotionBERT (ICCV 2023): sequences of any length, two streams; output in 2.5D
motionagformer  MotionAGFormer (WACV 2024): attention beside graph convolutions; output in 2.5D
crossformer     CrossFormer (2022): 81 frames to the centre frame
jointformer     JointFormer (ICPR 2022): single frame, predicts its own error
refinement      the second stage of JointFormer
esmformer       ESMformer (Pattern Recognition 2025): four synchronised views
posenets        LSTM, MLP and Transformer PoseNets (2024): small centre-frame baselines
"""
