"""The hybrid: ``collaborative`` fits what its sources need, ``mixture`` how they are mixed, and
``train`` makes the lessons that both learn from."""
