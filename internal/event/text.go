package event

import "strings"

// maxText bounds what a stranger wrote, in bytes.
const maxText = 512

// Text is s as an event keeps it: cut if nobody would write so much, and no part of the
// message that it came in, of up to 64 KiB, which thousands of events would keep.
func Text(s string) string { return strings.Clone(s[:min(len(s), maxText)]) }
