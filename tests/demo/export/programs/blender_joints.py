"""Runs inside Blender: `RATE KIND FILE OUT.npz` saves the joints of a BVH, GLB or FBX in every frame."""

import sys

import bpy
import numpy as np

kind, source, target = sys.argv[-3:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
rate = float(sys.argv[-4])
scene.render.fps = round(rate)
if kind == "bvh":
    bpy.ops.import_anim.bvh(filepath=source, global_scale=0.01, update_scene_fps=True)
elif kind == "glb":
    bpy.ops.import_scene.gltf(filepath=source)
else:
    bpy.ops.import_scene.fbx(filepath=source)
armatures = sorted((o for o in bpy.data.objects if o.type == "ARMATURE"), key=lambda o: o.name)
if kind == "glb":
    first, last = 0, round(max(action.frame_range[1] for action in bpy.data.actions))
else:
    first, last = (round(number) for number in bpy.data.actions[0].frame_range)
found = {}
for armature in armatures:
    names = [bone.name for bone in armature.pose.bones]
    places = np.zeros((last - first + 1, len(names), 3))
    found[f"{armature.name}/names"] = np.array(names)
    found[f"{armature.name}/places"] = places
for frame in range(first, last + 1):
    scene.frame_set(frame)
    for armature in armatures:
        for number, bone in enumerate(armature.pose.bones):
            found[f"{armature.name}/places"][frame - first, number] = (armature.matrix_world @ bone.head)[:]
np.savez(target, **found)
