"""The library's face: an engine in the caller's process."""

from headway.llm.door import BadRequest
from headway.llm.engine_thread import EngineGone
from headway.llm.library import LLM
from headway.llm.output import Output, Piece, Timings, Usage

__all__ = ["LLM", "BadRequest", "EngineGone", "Output", "Piece", "Timings", "Usage"]
