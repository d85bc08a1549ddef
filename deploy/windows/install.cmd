@echo off
rem Installs or upgrades the Bandfleet agent from the folder that this script lies in, which may be on a share. For startup scripts of
rem group policy and for software distribution: it asks nothing, and run again it changes nothing. Everything after its name goes to
rem "fleet-agent install", which checks that an administrator runs it and writes install.log to %ProgramData%\Bandfleet\agent:
rem
rem   install.cmd --server fleet.example.com:7443 --token-file \\files\bandfleet\lyon.token
rem
rem Its exit code is that of "fleet-agent install": 0 done, or nothing to do; "fleet-agent install --help" has the others.
setlocal
if not exist "%~dp0fleet-agent.exe" echo install.cmd: there is no fleet-agent.exe in "%~dp0": use the folder of the release as it was unpacked 1>&2
if not exist "%~dp0fleet-agent.exe" exit /b 2
"%~dp0fleet-agent.exe" install %*
exit /b %ERRORLEVEL%
