"""Engine: how any stage is done, whatever it does: decided, worked at, resumed, put back, recorded.

In the order of use: opening (a run), job, stage (`perform`), decision, unfinished, replaced,
picture_loop, networks (the backbone of a stage).
"""
