// Command reveille is a SIP registrar and home proxy for phones that sleep.
//
//	reveille serve [--config FILE]   run the server
//	reveille check FILE              report every problem of a configuration
//	reveille config default|schema   print the documented configuration, or its schema
//	reveille import pjsip FILE       make them of the configuration of Asterisk
//	reveille bindings check|repair|export|import DIR
//	                                 look after the registrations on disk
//	reveille bindings backup {--config FILE | --store DIR} DESTINATION
//	                                 copy them, also while the server runs
//	reveille push test {--config FILE | --store DIR} {AOR | --provider NAME --token-file FILE}
//	                                 send a push and say what the push service answered
//	reveille wake {--config FILE | --store DIR} AOR
//	                                 wake a user's phones and say how long they took
//	reveille providers {--config FILE | --store DIR}
//	                                 show how the push services are
//	reveille events {--config FILE | --store DIR}
//	                                 follow what happens on a running server
//	reveille woken {--config FILE | --store DIR} {--push-id ID | --aor AOR} {delivered|gone|failed}
//	                                 report what became of a push that a program of yours sent
//	reveille load register|refresh|calls|storm|due
//	                                 measure a server with simulated phones
//	reveille demo                    show a sleeping phone being woken
//	reveille version                 say which build this is
//
// Only this package touches arguments, the environment, signals and the exit
// code; everything else lives in packages that a program can embed.
package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"reveille/configs"
	"reveille/internal/app"
)

func main() {
	// Two signals fit: the one that asks for an end and the one that insists.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	os.Exit(run(os.Args[1:], program{
		input:         os.Stdin,
		stdout:        os.Stdout,
		stderr:        os.Stderr,
		lookupEnv:     os.LookupEnv,
		screen:        screenOf(os.Stdout),
		readPassword:  terminalPassword(os.Stdin, os.Stderr, signals),
		defaultConfig: defaultConfig,
		signals:       signals,
		newServer: func(cfg *configs.Config, log *slog.Logger, reload reloader) (server, error) {
			return app.New(app.Options{Config: cfg, Logger: log, EventLines: os.Stderr, Reload: reload, OnFailure: func(err error) {
				// Nothing that was not committed was acknowledged. A new process
				// starts from what the disk has.
				log.Error("the store on disk failed; ending", "err", err)
				os.Exit(exitFailed)
			}})
		},
		check:    app.Check,
		warnings: app.Warnings,
		demo:     demonstrate,
	}))
}
