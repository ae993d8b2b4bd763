"""Tilt files for tests, and whether the reader refuses one."""

import pytest

from engine.errors import BadInputError
from engine.io.tilt_files import read_tilt_series

XML = """<?xml version="1.0" encoding="utf-8"?>
<TiltSeries DataDirectory="" PlaneNormal="0,0,1">
  <Angles>-3\n0\n3\n6</Angles>
  <Dose>6\n0\n3\n9</Dose>
  <UseTilt>True\nTrue\nTrue\nFalse</UseTilt>
  <CTF>
    <Param Name="Cs" Value="2.6" /><Param Name="Voltage" Value="200" />
    <Param Name="Amplitude" Value="0.07" /><Param Name="Defocus" Value="3.3" />
  </CTF>
  <GridCTF Width="2" Height="1" Depth="4">
    <Node X="0" Y="0" Z="0" Value="2.9" /><Node X="1" Y="0" Z="0" Value="3.1" />
    <Node X="0" Y="0" Z="1" Value="3.4" /><Node X="1" Y="0" Z="1" Value="3.6" />
    <Node X="0" Y="0" Z="2" Value="4.0" /><Node X="1" Y="0" Z="2" Value="4.0" />
    <Node X="0" Y="0" Z="3" Value="5.0" /><Node X="1" Y="0" Z="3" Value="5.0" />
  </GridCTF>
</TiltSeries>
"""


def refuses(path, *words, error=BadInputError, **options):
    """Whether reading fails in one line that holds all words."""
    with pytest.raises(error) as caught:
        read_tilt_series(path, **options)
    message = str(caught.value)
    return "\n" not in message and all(word in message for word in words)
