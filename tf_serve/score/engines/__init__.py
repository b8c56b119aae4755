"""Who answers the films of a bulk run: the processes of this machine, or Ray."""
