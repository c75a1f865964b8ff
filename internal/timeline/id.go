package timeline

// ID returns the ID of the Record of a request that events number so.
func ID(request uint64) string { return formatID(request) }
