"""Data sets, motion capture, and what virtual cameras and detectors make of it.

h36m (h36m_cameras, h36m_windows), humaneva (videopose3d: what both
    share), mpi_inf_3dhp, ski_pose                                         the field's files
mocap, bvh, asf (kinematics, body_names), motion_folders               motion capture
bodies, virtual, noise, filmed, detected, batches                      what a training sees of it
checks (more_checks, findings), pickled_arrays                         is it whole, and safe to open
"""
