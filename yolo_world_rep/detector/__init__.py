"""From a config and a checkpoint to a detector.

``loading`` builds it and loads all of the file (``class_branch`` sizes the
one, ``remedies`` says what to do where the other does not fit);
``spec_of_config`` is what it takes and gives, ``class_names`` what it calls
that; ``fusion`` makes it small; ``pytorch_backend`` runs it as an exported
file is run.
"""
