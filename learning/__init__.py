"""What every training shares: the loop, its run folder, optimisers, bounds, figures, MNIST."""
