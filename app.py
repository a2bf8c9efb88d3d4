"""Video of people in, 3D motion and a side-by-side skeleton video out: `python app.py --video clip.mp4`."""

from demo.cli.main import main

if __name__ == "__main__":
    main()
