"""Deploys: which release was brought where, and so what runs where."""
