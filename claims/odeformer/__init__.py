"""Claims about the ODEFormer, which reads trajectories and writes the equations that they solve."""
