"""Script for Blender: `-- clip.fbx person1.bvh person2.bvh ...` imports the BVH files and writes one FBX."""

from __future__ import annotations

import sys

import bpy


def main(target: str, sources: list[str]) -> None:
    """Import, set the scene to the motion's rate and length, export the armatures."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for source in sources:
        bpy.ops.import_anim.bvh(filepath=source, global_scale=0.01, update_scene_fps=True)
    scene = bpy.context.scene
    ends = [action.frame_range[1] for action in bpy.data.actions]
    scene.frame_start, scene.frame_end = 1, max(1, round(max(ends, default=1)))
    bpy.ops.export_scene.fbx(
        filepath=target,
        object_types={"ARMATURE"},
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
    )


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :]
    main(arguments[0], arguments[1:])
