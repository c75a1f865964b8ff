package admin

import (
	"context"
	"net/http"
)

// Reload reads the configuration again; an error says why it was not taken over.
type Reload func(context.Context) (Reloaded, error)

// Reloaded is what a reload did, and the answer to POST /v1/reload.
type Reloaded struct {
	Changed []string `json:"changed" doc:"Keys that changed and are in force."`
	Restart []string `json:"restart" doc:"Keys that changed and need a restart: they are as before."`
}

type (
	nothing     struct{}
	reloadInput struct{}
	reloadReply struct{ Body Reloaded }
)

func (*reloadInput) target() string { return "" }

// reloadTime is how long a reload may take: names are looked up.
const reloadTime = MaxWait

func (do Reload) register(a *api) {
	if do == nil {
		return
	}
	change(a, Operate, call{
		id: "reload", method: http.MethodPost, path: "/reload", tag: "server", summary: "Read the configuration again",
		doc: "If anything is wrong with it the server goes on as it was.", takes: reloadTime,
	}, func(ctx context.Context, _ *reloadInput) (*reloadReply, error) {
		done, err := do(ctx)
		if err != nil {
			return nil, failure(http.StatusUnprocessableEntity, err)
		}
		return &reloadReply{done}, nil
	})
}
