# SPDX-License-Identifier: MIT
"""The functions of the rows with arrays, numpy on both sides."""
import numpy


def total(array):
    return float(array.sum())


def total_batch(items):
    return [float(numpy.asarray(item).sum()) for item in items]


attached = {}


def total_shared(place):
    """For the peer whose array lies in multiprocessing.shared_memory."""
    from multiprocessing import shared_memory
    name, shape, dtype = place
    if name not in attached:
        attached[name] = shared_memory.SharedMemory(name)
    return total(numpy.ndarray(shape, dtype, attached[name].buf))
