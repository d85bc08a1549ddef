@echo off
rem Takes the Bandfleet agent off this machine: what it has changed for a time is put back first, then service and programs are removed.
rem Data stays; "uninstall.cmd --purge" removes that, too. Asks nothing. Where there is no agent, it has nothing to do and that is no error.
rem Its exit code is that of "fleet-agent uninstall": 0 done; "fleet-agent uninstall --help" has the others.
setlocal
if not exist "%~dp0fleet-agent.exe" echo uninstall.cmd: there is no fleet-agent.exe in "%~dp0": use the folder of a release as it was unpacked 1>&2
if not exist "%~dp0fleet-agent.exe" exit /b 2
"%~dp0fleet-agent.exe" uninstall %*
exit /b %ERRORLEVEL%
