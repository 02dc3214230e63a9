"""What a processor keeps of the view: partials in memory, writes behind the loop, and how a unit is caught up."""
