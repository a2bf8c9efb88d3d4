"""The web page of `python app.py web`: clips in, results of this session out.

`folders` keeps each clip and its results in a folder of the server's own, `progress` measures shares and
remaining times, `jobs` runs one clip at a time, `texts` holds the texts of the page, `guard` refuses foreign
requests, `page` lays the page out with Gradio, and `server` serves all of it. Only the last two need Gradio.
"""
