// Command reveille is a SIP registrar and home proxy for phones that sleep.
// `reveille --help` lists the commands, docs/cli.md has all of them with their flags.
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
