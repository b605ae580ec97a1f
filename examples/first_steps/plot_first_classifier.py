"""
A first classifier in ten lines
===============================

x
"""
