"""2D -> 3D: knows arrays of joints; no pixels, no video, and never imports `demo`.

skeletons    joints, parents, pairs; COCO -> H36M    cameras      projection, normalisation, axes
contracts    what every lifter promises              registry     all lifters by name
models/      one file a paper                        checkpoints  our files and the authors'
windows      cut, pad, blend                         inference    a whole track through a lifter
smoothing    zero-phase low-pass                     metrics      what the field measures
datasets/    one file a data set, virtual cameras    losses       what lifters are trained with
training     one loop (training_state: resume,       presets      every lifter's recipe
             parallel: several devices)
losses_papers      each paper's                      evaluation   held-out subjects
protocol     the papers' protocols on Human3.6M       published    the papers' figures
losses_multiview   ESMformer's, without 3D labels
exporting    ONNX                                    vectors      reference vectors
weights      finding weight files                    safe_load    checkpoints without running pickles
files        whole or not there                      errors       everything told in one line
cli          how both command lines end
__main__     python -m lifter train | evaluate | data | list | verify | convert | export
"""
