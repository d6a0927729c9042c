"""The errors pvc raises for what users do. Each message says what is wrong, where, and what to do."""


class PvcError(Exception):
    """Base of all errors whose message is meant for the user; the command prints it as one line and exits with 2."""

    exit_code = 2


class VideoError(PvcError):
    """A clip cannot be read or written: missing file, unknown size, damaged stream, unsupported format."""


class DataError(PvcError):
    """A data set is not laid out as expected, is empty, or one of its files is broken."""


class ImportanceError(PvcError):
    """An importance map does not fit its clip, or alpha / u_alpha lies outside its range."""


class BitstreamError(PvcError):
    """A coded stream is damaged, truncated, or was written by another model."""


class FramesMissing(PvcError):
    """A damaged stream was decoded all the same; the frames that are missing were made up."""

    exit_code = 1


class CheckpointError(PvcError):
    """A checkpoint cannot be found, read, or belongs to another architecture."""


class MissingWeights(PvcError):
    """Pretrained weights are not on this machine; the message names the file and where to put it."""


class ConfigError(PvcError):
    """A configuration value is out of range or names something that does not exist."""


class TrainingError(PvcError):
    """A training run cannot go on; its last checkpoint is intact."""


class JobsFailed(PvcError):
    """Some jobs of an evaluation failed; all others are finished and in the tables."""

    exit_code = 1
