// Lets the machine drain Jenkins without a password, whatever its users log in with (/usr/local/lib/jenkins/drain): as soon
// as /run/jenkins/drain is there, Jenkins begins nothing new; and once a second /run/jenkins/builds.json says what runs.
import groovy.json.JsonOutput
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.util.concurrent.TimeUnit
import java.util.logging.Level
import java.util.logging.Logger
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
        // Pipelines are in executors of their own, which are there only while they run.
        List<String> builds = jenkins.computers.toList()
            .collectMany { computer -> computer.executors + computer.oneOffExecutors }
            .findAll { executor -> executor.isBusy() }
            .collect { executor -> executor.currentExecutable?.toString() ?: 'a build that begins' }
        String text = JsonOutput.toJson([quiet: jenkins.isQuietingDown(), builds: builds])
        Path next = run.resolve('builds.json.next')
        Files.writeString(next, text)
        Files.move(next, run.resolve('builds.json'), StandardCopyOption.ATOMIC_MOVE)
    } catch (Exception error) {
        // A timer gives a task up that has thrown.
        logger.log(Level.WARNING, 'The list of running builds could not be written', error)
    }
}, 0, 1, TimeUnit.SECONDS)
