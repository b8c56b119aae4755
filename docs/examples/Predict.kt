// Answer films on Android with a .tflite file alone; build.gradle.kts:
// implementation("com.google.ai.edge.litert:litert:1.4.2"); implementation("com.google.ai.edge.litert:litert-metadata:1.4.2")
import android.graphics.Bitmap
import android.graphics.Color
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.MappedByteBuffer
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import org.json.JSONObject
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.support.metadata.MetadataExtractor

// Pillow's BILINEAR along each row, bit for bit: antialiased, as Android's is not, with weights of 22 bits.
// It transposes, so twice is a whole resize.
fun resizeRows(grey: IntArray, rows: Int, from: Int, to: Int): IntArray {
    val scale = from.toDouble() / to
    val reach = max(scale, 1.0)
    val out = IntArray(to * rows)
    for (x in 0 until to) {
        val centre = (x + 0.5) * scale
        val first = max(0, (centre - reach + 0.5).toInt())
        val last = min(from, (centre + reach + 0.5).toInt())
        val raw = (first until last).map { max(0.0, 1 - abs((it - centre + 0.5) / reach)) }
        val weights = raw.map { (it / raw.sum() * (1 shl 22) + 0.5).toInt() }
        for (y in 0 until rows) {
            var sum = 1 shl 21
            for (i in weights.indices) sum += weights[i] * grey[y * from + first + i]
            out[x * rows + y] = sum shr 22
        }
    }
    return out
}

class Screener(model: MappedByteBuffer) : AutoCloseable { // opened once, for many films; one thread at a time
    private val inside = MetadataExtractor(model) // labels, preprocessing and threshold travel in the file
    private val size = read("preprocessing.json").getInt("size")
    private val threshold = read("operating_point.json").getJSONObject("operating_point").getDouble("margin")
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(1))
    private val bytes = interpreter.getInputTensorFromSignature("image", SIGNATURE).dataType() == DataType.UINT8

    private fun read(name: String) = JSONObject(inside.getAssociatedFile(name).bufferedReader().readText())

    fun predict(film: Bitmap): Pair<Float, Boolean> { // margin, refer
        val side = max(film.width, film.height)
        val (left, top) = Pair((side - film.width) / 2, (side - film.height) / 2)
        val square = IntArray(side * side) // black
        for (y in 0 until film.height) for (x in 0 until film.width)
            square[(y + top) * side + x + left] = Color.red(film.getPixel(x, y)) // films are grey
        val levels = resizeRows(resizeRows(square, side, side, size), size, side, size)
        val image = ByteBuffer.allocateDirect((if (bytes) 1 else 4) * size * size).order(ByteOrder.nativeOrder())
        levels.forEach { if (bytes) image.put(it.toByte()) else image.putFloat(it.toFloat()) } // int8 takes bytes
        val logits = Array(1) { FloatArray(2) } // new for every film: nothing of the film before can be in it
        val outputs = mapOf("logits" to logits, "probability" to Array(1) { FloatArray(1) },
            "evidence" to Array(1) { Array(7) { FloatArray(7) } })
        interpreter.runSignature(mapOf("image" to image.rewind()), outputs, SIGNATURE)
        val margin = logits[0][1] - logits[0][0]
        return Pair(margin, margin >= threshold)
    }

    override fun close() = interpreter.close()

    companion object { const val SIGNATURE = "serving_default" }
}
