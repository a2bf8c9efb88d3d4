"""Video of people in, 3D motion and a side-by-side skeleton video out: `python app.py --video clip.mp4`."""

import sys

if __name__ == "__main__":
    try:
        from demo.cli.main import main

        main()
    except KeyboardInterrupt:  # while the program is still being loaded
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
