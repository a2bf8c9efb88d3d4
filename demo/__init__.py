"""The video application: knows files, frames, people, pixels.

From the top; an arrow never runs up, and stages never import each other, they meet in `pipeline`:

    cli          flags -> Settings -> one call        console      what the user sees while it runs
    folders      which clips                          batch        plan, run, resume (batch_report: rows)
    worker       a clip in a process of its own       child        that process; cluster: on Dask
    settings     every knob once                      fingerprint  what kept files were made from
    look         what is there before a clip is run   outputs      its files, their lock, are they whole
    pipeline     the order of the stages              networks     the three networks of a run
    views        that of several synchronised clips (matching: who is who, mosaic: one picture of them)
      analysis   the first pass (seen), kept           threads      stages in threads, bounded queues
      video      frames in (containers: formats)      encoding     frames out, sound kept
      detection  boxes of people                      tracking     boxes -> ids, stitching: ids -> people
      pose2d     keypoints (heatmaps, hrnet, mmpose_backend)
      following  keypoints of people whom the detector misses
      turning    of those upside down                 sides       which are left, which right
      lifting    keypoints -> 3D in camera axes       motion       smooth, in one level world
      grounding  up, the floor, people standing on it
      rendering  the picture (scene: the 3D panel)    result       the data file
    types        the values they all speak in
    training     how detector and keypoint network are trained (python -m demo.training)
"""
