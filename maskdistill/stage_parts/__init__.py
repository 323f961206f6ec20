"""Stage parts: what several stages share, or what makes one of them too long to read at once.

Below stages/, which calls it; above artifacts/ and engine/, which it calls.
"""
