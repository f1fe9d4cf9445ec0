"""How clean the grid is and will be: providers behind one interface, and the choice of a window."""
