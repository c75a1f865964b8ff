package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// BackupRequest is the body of POST /backup.
type BackupRequest struct {
	// Dir is an absolute path: the server has a working directory of its own.
	Dir string `json:"dir"`
}

// maxRequest bounds the body of a request in bytes; a path has at most 4096.
const maxRequest = 32 << 10

// backup answers POST /backup when all is written: 200, or why nothing was.
func backup(w http.ResponseWriter, r *http.Request, do func(context.Context, string) error) {
	const title = "no backup was made"
	var req BackupRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		problem(w, http.StatusBadRequest, title, fmt.Errorf("read request: %w", err))
		return
	}
	if !filepath.IsAbs(req.Dir) {
		problem(w, http.StatusBadRequest, title, errors.New("dir must be an absolute path"))
		return
	}
	// A large store takes its time, and a deadline for reading that passes would
	// look as if the peer had gone. The errors are those of a connection without
	// deadlines, which needs none lifted.
	c := http.NewResponseController(w)
	_, _ = c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})
	if err := do(r.Context(), req.Dir); err != nil {
		problem(w, http.StatusUnprocessableEntity, title, err)
		return
	}
	answer(w, http.StatusOK, "application/json", req)
}
