# Completion of podprof(1) for fish: the commands, what each of them takes, and
# the IDs of jobs.

# The IDs of the service that the words so far name: of the jobs that a command
# can be for.
function __podprof_ids
	set -l words (commandline -opc)
	set -l args
	if contains -- "$argv[1]" summary diff
		set args --kind heap-snapshot --state succeeded
	end
	for i in (seq 2 (count $words))
		if contains -- $words[$i] --url --app --config -c
			set -a args $words[$i] $words[(math $i + 1)]
		end
	end
	timeout 3 podprof jobs $args 2>/dev/null | sed '1d; s/ .*//'
end

set -l kinds 'heap-snapshot cpu-profile heap-profile'
set -l commands take jobs show get rm summary diff target sweep check token config
set -l here sweep check token config

complete -c podprof -f
complete -c podprof -s h -l help -d 'what there is, or what a command takes'
complete -c podprof -l version -d 'the version'
complete -c podprof -s c -l config -r -F -d 'the configuration'
complete -c podprof -l json -d 'one JSON document on a line'

complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a take -d 'capture, wait, bring the file'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a jobs -d 'what was captured'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a show -d 'all about a job'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a get -d 'wait for a job, bring its file'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a rm -d 'cancel or remove a job'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a summary -d 'a heap snapshot by class'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a diff -d 'what grew from one to another'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a target -d 'the app'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a sweep -d 'remove what has expired'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a check -d 'what is wrong with the installation'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a token -d 'who may ask'
complete -c podprof -n "not __fish_seen_subcommand_from $commands" -a config -d 'the configuration'

complete -c podprof -n "not __fish_seen_subcommand_from $here" -l url -x -d 'the service at this address'
complete -c podprof -n "not __fish_seen_subcommand_from $here" -l app -x -d 'the app'
complete -c podprof -n '__fish_seen_subcommand_from check' -l url -x -d 'the web server'
complete -c podprof -n '__fish_seen_subcommand_from check' -l socket -r -F -d 'of the pool'

complete -c podprof -n '__fish_seen_subcommand_from take' -a $kinds
complete -c podprof -n '__fish_seen_subcommand_from take get' -s o -l output -r -F -d 'where the file goes'
complete -c podprof -n '__fish_seen_subcommand_from take' -l duration -x -d 'how long a profile runs'
complete -c podprof -n '__fish_seen_subcommand_from take' -l interval -x -d 'microseconds between samples'
complete -c podprof -n '__fish_seen_subcommand_from take' -l sampling-bytes -x -d 'bytes between samples'
complete -c podprof -n '__fish_seen_subcommand_from take' -l live -d 'only what is alive at the end'
complete -c podprof -n '__fish_seen_subcommand_from take' -l method -x -a 'auto fork direct stream' -d 'of a heap snapshot'
complete -c podprof -n '__fish_seen_subcommand_from take' -l force -d 'although there may be too little memory'
complete -c podprof -n '__fish_seen_subcommand_from take' -l worker -x -d 'of a worker thread'
complete -c podprof -n '__fish_seen_subcommand_from take' -l no-wait -d 'begin, and leave'

complete -c podprof -n '__fish_seen_subcommand_from jobs' -l kind -x -a $kinds -d 'of this kind'
complete -c podprof -n '__fish_seen_subcommand_from jobs' -l state -x -a 'queued running succeeded failed canceled' -d 'in this state'
complete -c podprof -n '__fish_seen_subcommand_from jobs summary diff' -l limit -x -d 'so many at most'

complete -c podprof -n '__fish_seen_subcommand_from show get rm; and not __fish_seen_subcommand_from token config' -a '(__podprof_ids)'
complete -c podprof -n '__fish_seen_subcommand_from summary diff' -a '(__podprof_ids summary)'

complete -c podprof -n '__fish_seen_subcommand_from token; and not __fish_seen_subcommand_from new list rm' -a 'new list rm'
complete -c podprof -n '__fish_seen_subcommand_from new' -l role -x -a 'viewer operator' -d 'what it may'
complete -c podprof -n '__fish_seen_subcommand_from new' -l print -d 'store nothing'
complete -c podprof -n '__fish_seen_subcommand_from config; and not __fish_seen_subcommand_from show template' -a 'show template'
