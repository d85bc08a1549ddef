// Command stillborn is a release of the agent that says its version and ends as soon as it is to do anything else: the tests of
// installations put it in the place of one that works.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println("fleet-agent stillborn")
		return
	}
	os.Exit(1)
}
