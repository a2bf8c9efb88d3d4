"""Data sets of 2D and 3D joints, motion capture, and synthetic windows made of it.

h36m, h36m_cameras, h36m_windows   Human3.6M in VideoPose3D's layout, its cameras, its training windows
humaneva                           HumanEva-I in VideoPose3D's layout
videopose3d                        readers that Human3.6M and HumanEva share
mpi_inf_3dhp, ski_pose             MPI-INF-3DHP in P-STMO's layout, Ski-Pose PTZ
pickled_arrays                     npz files with pickled dicts, read without running pickles
mocap/                             motion capture: npz, bvh, asf, folders; joint_names, kinematics
synthetic/                         training windows: bodies, cameras, noise, contacts, windows; proportions
checks/                            integrity checks: integrity (all formats), published_sets, findings
"""
