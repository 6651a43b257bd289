"""Every change of what the plane keeps: named functions that write an audit row, too.

Each takes the `Actor` first, then keyword arguments. It checks values; whether the actor may, the
caller has asked `access`.
"""
