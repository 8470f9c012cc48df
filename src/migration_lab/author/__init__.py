"""For authors of the course: its notebooks run anew, and the lab measured."""
