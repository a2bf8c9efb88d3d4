"""2D keypoints to 3D joints. Knows arrays of joints, no pixels and no video. Never imports `demo`.

skeletons      joints, parents, left/right pairs; COCO -> H36M
cameras        projection, screen units, rotations        clip_camera  the same for a clip, in NumPy
spec           `LifterSpec`, `LifterOutput`               network      `Lifter` as a PyTorch module
loading        a lifter for inference, in any runtime     registry     all lifters by name
models/        one file a paper                           checkpoints/ our files, the authors', ONNX, vectors
inference      a whole track through a lifter             windows      cut, pad, blend
normalisation  units of each lifter's input               metric       2.5D to metres
gaps           missing keypoints                          smoothing    zero-phase low-pass
angles         joint angles                               clock        frame rates, runs of frames
batches        training batches                           datasets/    files, mocap, synthetic windows
training/      one loop, presets, losses                  evaluation/  metrics and protocols
commands/      python -m lifter train | evaluate | data | list | verify | convert | export
"""
