package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestBackup(t *testing.T) {
	path := socketPath(t)
	var asked []string
	fail := error(nil)
	control(t, Options{Socket: path, Calls: Calls{Backup: func(_ context.Context, dir string) error {
		asked = append(asked, dir)
		return fail
	}}})
	const body = `{"dir":"/backups/a"}`
	tests := []struct {
		name, body string
		fail       error
		status     int
		answer     string
	}{
		{"made", body, nil, 200, `{"dir":"/backups/a"}`},
		{"failed", body, errors.New("no space left"), 422, `"detail":"no space left"`},
		{"relative", `{"dir":"a"}`, nil, 422, "body.dir: must be an absolute path"},
		{"nothing", "", nil, 400, "body is required"},
		{"misspelt", `{"dri":"/a"}`, nil, 422, "dri"},
		{"endless", `{"dir":"` + strings.Repeat("/a", maxRequest) + `"}`, nil, 413, "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fail = tt.fail
			status, answer := post(t, over(path), "http://localhost/v1/backup", tt.body)
			if status != tt.status || !strings.Contains(answer, tt.answer) {
				t.Errorf("POST /v1/backup %.40s = %d %s, want %d and %s", tt.body, status, answer, tt.status, tt.answer)
			}
		})
	}
	if len(asked) != 2 {
		t.Errorf("asked for %q, want two backups", asked)
	}
}
