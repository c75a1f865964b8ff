package admin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
)

// Backup copies the registrations into a folder, an absolute path; an error says why
// nothing was written.
type Backup func(ctx context.Context, dir string) error

// BackupRequest is the body of POST /v1/backup, and the answer.
type BackupRequest struct {
	Dir string `json:"dir" maxLength:"4096" doc:"An absolute path on the machine of the server, of a folder that is empty or not there."`
}

type (
	backupInput struct{ Body BackupRequest }
	backupReply struct{ Body BackupRequest }
)

func (i *backupInput) target() string { return i.Body.Dir }

func (do Backup) register(a *api) {
	if do == nil {
		return
	}
	change(a, Operate, call{
		id: "backup", method: http.MethodPost, path: "/backup", tag: "server", summary: "Copy the registrations and the sealing keys into a folder",
		doc: "Every registration acknowledged before is in the copy, which the server makes with its own rights.",
		// A large store takes its time.
		takes: endless,
	}, func(ctx context.Context, in *backupInput) (*backupReply, error) {
		// The server has a working directory of its own.
		if !filepath.IsAbs(in.Body.Dir) {
			return nil, invalid("body.dir", errors.New("must be an absolute path"))
		}
		if err := do(ctx, in.Body.Dir); err != nil {
			return nil, failure(http.StatusUnprocessableEntity, err)
		}
		return &backupReply{in.Body}, nil
	})
}
