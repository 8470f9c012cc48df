"""For authors of the course: exercises examined, its notebooks run anew, and the lab measured."""

from .examination import Report, examine_all

__all__ = ["Report", "examine_all"]
