"""The parts of ``crmstream demo``: its folder, the feeding of the shop, what is read meanwhile, and the screen."""
