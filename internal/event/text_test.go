package event

import (
	"strings"
	"testing"
	"unsafe"
)

func TestText(t *testing.T) {
	message := strings.Repeat("x", 64<<10)
	for _, n := range []int{0, 1, maxText, maxText + 1, len(message)} {
		got := Text(message[:n])
		if want := min(n, maxText); len(got) != want {
			t.Errorf("of %d bytes %d are kept, want %d", n, len(got), want)
		}
		if n > 0 && unsafe.StringData(got) == unsafe.StringData(message) {
			t.Errorf("of %d bytes the message is kept", n)
		}
	}
}
