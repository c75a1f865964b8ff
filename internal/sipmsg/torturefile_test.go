package sipmsg

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTorture_File keeps testdata/torture.txt, from which other packages send the
// cases over the wire: what is expected (as in tortureCase), the name, and the
// message as a Go string, with tabs in between.
func TestTorture_File(t *testing.T) {
	const path = "testdata/torture.txt"
	var b strings.Builder
	for _, tc := range tortureCases {
		fmt.Fprintf(&b, "%d\t%s\t%+q\n", tc.want, tc.name, tc.raw)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(got)); diff != "" {
		t.Errorf("%s is out of date; run with -update:\n%s", path, diff)
	}
}
