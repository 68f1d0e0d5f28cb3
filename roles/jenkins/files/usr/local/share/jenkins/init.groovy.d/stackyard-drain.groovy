// Lets the machine drain Jenkins without a password, whatever its users log in with (/usr/local/lib/jenkins/drain): as soon
// as /run/jenkins/drain is there, Jenkins begins nothing new; and once a second /run/jenkins/builds.json says what runs.
// The same for single agents (/usr/local/lib/jenkins/fleet): those that /run/jenkins/leaving names, a line each, get nothing
// new, and /run/jenkins/agents.json says what runs on each.
import groovy.json.JsonOutput
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.util.concurrent.TimeUnit
import java.util.logging.Level
import java.util.logging.Logger
import hudson.model.Computer
import hudson.slaves.OfflineCause
import jenkins.model.Jenkins
import jenkins.util.Timer

Path run = Path.of('/run/jenkins')
Logger logger = Logger.getLogger('stackyard.drain')

// Jenkins' own timer, whose tasks run with the rights of the system.
Timer.get().scheduleWithFixedDelay({
    try {
        Jenkins jenkins = Jenkins.getInstanceOrNull()
        if (jenkins == null) {
            return
        }
        if (Files.exists(run.resolve('drain')) && !jenkins.isQuietingDown()) {
            jenkins.doQuietDown()
        }
        List<String> leaving = Files.exists(run.resolve('leaving')) ? Files.readAllLines(run.resolve('leaving')) : []
        List<Computer> computers = jenkins.computers.toList()
        // Temporarily offline is what builds that run go on under. Not accepting tasks would have the plug-in end the machine itself.
        computers.findAll { computer -> computer.name in leaving && !computer.isTemporarilyOffline() }.each { computer ->
            computer.setTemporaryOfflineCause(new OfflineCause.ByCLI('Its Auto Scaling group ends this machine'))
        }
        // Pipelines are in executors of their own, which are there only while they run.
        Closure<List<String>> builds = { Computer computer ->
            (computer.executors + computer.oneOffExecutors)
                .findAll { executor -> executor.isBusy() }
                .collect { executor -> executor.currentExecutable?.toString() ?: 'a build that begins' }
        }
        Closure write = { String name, Object content ->
            Path next = run.resolve(name + '.next')
            Files.writeString(next, JsonOutput.toJson(content))
            Files.move(next, run.resolve(name), StandardCopyOption.ATOMIC_MOVE)
        }
        write('builds.json', [quiet: jenkins.isQuietingDown(), builds: computers.collectMany(builds)])
        write('agents.json', computers.findAll { computer -> computer.name }.collectEntries { computer ->
            [computer.name, [leaving: computer.isTemporarilyOffline(), builds: builds(computer)]]
        })
    } catch (Exception error) {
        // A timer gives a task up that has thrown.
        logger.log(Level.WARNING, 'The list of running builds could not be written', error)
    }
}, 0, 1, TimeUnit.SECONDS)
