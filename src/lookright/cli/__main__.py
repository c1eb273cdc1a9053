"""The command line as a module, for `torchrun -m lookright.cli`."""

from lookright.cli import main

main()
