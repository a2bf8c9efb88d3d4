"""Motion while it happens: from a camera, a stream, or a clip that plays in real time.

source   -> arrivals, of which the newest counts      people  -> a person's past, lifted to the present
filters  -> One Euro                                  level   -> which way is up, how high the floor is
pipeline -> frame in, people in 3D out                run     -> the loop, its figures
outputs  -> window, video                             vmc     -> bone rotations over OSC
browser  -> a page of this machine that shows it
"""
